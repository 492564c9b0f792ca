/* Who signs out leaves no draft behind on this machine. */
"use strict";

document.querySelector("form.out").addEventListener("submit", () => {
  try {
    const drafts = Object.keys(localStorage).filter((name) => name.startsWith("gnomon-draft-"));
    for (const name of drafts) localStorage.removeItem(name);
  } catch { /* private windows may refuse */ }
});
