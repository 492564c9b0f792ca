"""`gnomon label`: an application in which people judge answers, and what comes out of it."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import ValidationError
from rich.text import Text

from gnomon.cli.console import out, print_json, say, warn
from gnomon.cli.options import AsJson
from gnomon.cli.partner import Endpoint, EndpointModel, Model, named, open_partner
from gnomon.errors import ConfigError
from gnomon.runs import storing

if TYPE_CHECKING:
    from gnomon.labelling.openid import Provider
    from gnomon.labelling.reach import Reach
    from gnomon.labelling.store.database import Store

label_app = typer.Typer(help="Have people judge answers.", no_args_is_help=True)

DEFAULT = "labels.db"
Db = Annotated[
    str, typer.Option("--db", envvar="GNOMON_LABEL_DB", help="A file, or postgresql://USER@HOST/NAME.")
]
Project = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name in addresses.")]
Allowed = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-target",
        envvar="GNOMON_LABEL_ALLOW_TARGETS",
        help="A network, as 10.1.0.0/16, that may be called beside the public internet.",
    ),
]
Setting = Annotated[
    list[str] | None, typer.Option("--set", help="A setting as key=value; may be given several times.")
]


@label_app.callback()
def _group() -> None:
    """Have people judge answers."""


@label_app.command()
def init(
    project: Project,
    title: Annotated[str | None, typer.Option(help="What annotators see; the name if not given.")] = None,
    guidelines: Annotated[Path | None, typer.Option(help="A Markdown file of guidelines.")] = None,
    settings: Setting = None,
    *,
    probes: Annotated[
        bool, typer.Option("--probes", help="Add pairs that tell whether beliefs and length sway people.")
    ] = False,
    db: Db = DEFAULT,
) -> None:
    """Make a project, and the database if there is none."""
    text = _guidelines(guidelines) if guidelines else None
    with opened(db, make=True) as store:
        from gnomon.labelling.store import projects  # noqa: PLC0415  an extra

        with store.write() as tx:
            made = projects.create(tx, project, title or project, _settings(settings or []))
            if text:
                projects.write_guidelines(tx, made.id, text)
            if probes:
                from gnomon.labelling.probes import builtin_probes  # noqa: PLC0415  torch is slow to import

                projects.add_items(tx, made.id, builtin_probes())
    out.print(Text(f"{project} is in {db}; next: gnomon label import {project} FILE"), soft_wrap=True)


@label_app.command()
def serve(  # noqa: PLR0913  each is an option
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8765,
    demo: Annotated[
        bool, typer.Option("--demo", help="Sample pairs in a database that is thrown away.")
    ] = False,
    allow_target: Allowed = None,
    keep_days: Annotated[
        float, typer.Option(min=0, help="Days that messages which arrived stay in a webhook's log.")
    ] = 30,
    openid: Annotated[
        Path | None,
        typer.Option("--oidc", help="A YAML file of how people sign in with an account elsewhere."),
    ] = None,
    *,
    model: Model = None,
    endpoint: Endpoint = None,
    endpoint_model: EndpointModel = None,
    db: Db = DEFAULT,
) -> None:
    """Serve the application, until Ctrl-C."""
    who = named(model, endpoint, endpoint_model)
    with ExitStack() as until_then:
        if demo:
            folder = until_then.enter_context(tempfile.TemporaryDirectory(prefix="gnomon-demo-"))
            db = str(Path(folder) / "demo.db")
        store = until_then.enter_context(opened(db, make=True))
        from gnomon.labelling import demo as demonstration  # noqa: PLC0415  an extra
        from gnomon.labelling.courier import Courier, Pace  # noqa: PLC0415
        from gnomon.labelling.reach import Reach  # noqa: PLC0415
        from gnomon.labelling.server import listen, server  # noqa: PLC0415

        courier = Courier(store, Reach.of(allow_target or []), Pace(keep_days=keep_days))
        partner = open_partner(who, courier.reach)
        door = listen(host, port)
        address = f"http://{host if host != '0.0.0.0' else 'localhost'}:{door.getsockname()[1]}"
        if demo:
            demonstration.fill(store)
            if partner:
                demonstration.fill_dialogue(store)
        provider = _provider(openid, store, courier.reach) if openid else None
        if first := _first_link(store):
            say("nobody has an account yet; this link makes the administrator, once:")
            out.print(Text(f"{address}/join/{first}"), soft_wrap=True)
        say(f"serving {address}, Ctrl-C to stop")
        server(store, courier=courier, partner=partner, openid=provider).run(sockets=[door])


def _provider(file: Path, store: "Store", reach: "Reach") -> "Provider":
    """Who vouches for people, as a file says; ConfigError names what is wrong there."""
    with needing_extra("label,oidc"):
        from gnomon.labelling.openid import Provider  # noqa: PLC0415  an extra
        from gnomon.labelling.openid_settings import load_openid  # noqa: PLC0415
        from gnomon.labelling.store import projects  # noqa: PLC0415
    settings, secret = load_openid(file, os.environ)
    with store.read() as tx:
        for slug in (*settings.projects, *(rule.project for rule in settings.roles)):
            projects.named(tx, slug)
    reach.resolve(settings.issuer)
    return Provider(settings, secret, reach, store.clock)


def _first_link(store: "Store") -> str | None:
    """The token that makes an administrator where there is none; earlier ones are worth nothing then."""
    from gnomon.labelling.store import people  # noqa: PLC0415  an extra

    with store.write() as tx:
        if people.has_site_admin(tx):
            return None
        people.withdraw_site_invitations(tx)
        return people.invite(tx, "admin")


@label_app.command()
def invite(
    project: Project,
    role: Annotated[
        Literal["annotator", "adjudicator", "viewer", "admin"], typer.Option(help="What the person may do.")
    ] = "annotator",
    count: Annotated[int, typer.Option(min=1, help="How many links.")] = 1,
    url: Annotated[str, typer.Option(help="Where the application is served.")] = "http://127.0.0.1:8765",
    email: Annotated[
        list[str] | None,
        typer.Option(help="Who may sign in without a link, by --oidc; may be given several times."),
    ] = None,
    db: Db = DEFAULT,
) -> None:
    """Print one-time links, each for one person, or let e-mail addresses sign in."""
    with opened(db) as store:
        from gnomon.labelling.store import people, projects, subjects  # noqa: PLC0415  an extra

        with store.write() as tx:
            found = projects.named(tx, project)
            for address in email or ():
                subjects.invite_address(tx, found.id, address, role)
            tokens = [people.invite(tx, role, found.id) for _ in range(0 if email else count)]
    for address in email or ():
        out.print(Text(f"{address} may sign in at {url.rstrip('/')}/login for seven days"), soft_wrap=True)
    for token in tokens:
        out.print(Text(f"{url.rstrip('/')}/join/{token}"), soft_wrap=True)


@label_app.command()
def forget(
    pseudonym: Annotated[str, typer.Argument(metavar="PSEUDONYM", help="As stats lists it.")],
    db: Db = DEFAULT,
) -> None:
    """Erase who an annotator is; the votes stay, under the pseudonym."""
    with opened(db) as store:
        from gnomon.labelling.store import people  # noqa: PLC0415  an extra
        from gnomon.labelling.store.database import scrub  # noqa: PLC0415

        with store.write() as tx:
            people.forget(tx, pseudonym)
        scrub(store)
    out.print(Text(f"{pseudonym} is nobody now; backups made before still know"), soft_wrap=True)


@label_app.command("import")
def import_(
    project: Project,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A file of comparisons, of answers to rank, or of prompts.")
    ],
    purpose: Annotated[
        Literal["ordinary", "gold", "qualification", "topic", "probe"],
        typer.Option(
            "--as", help="Gold and qualification take the file's labels for right; prompts are topics."
        ),
    ] = "ordinary",
    origin: Annotated[
        list[str] | None, typer.Option(help="The model behind the first answers, and again for the second.")
    ] = None,
    db: Db = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Add the comparisons and rankings of a file, or prompts to talk about, as items, all or none."""
    from gnomon.data.formats import load  # noqa: PLC0415  torch is slow to import

    if origin and len(origin) != 2:
        raise ConfigError("--origin is given twice, for the first and for the second answers, or not at all")
    records = () if purpose == "probe" else load(file).records
    with opened(db) as store:
        from gnomon.labelling.items import items_of  # noqa: PLC0415  an extra
        from gnomon.labelling.probes import read_probes  # noqa: PLC0415
        from gnomon.labelling.store import projects  # noqa: PLC0415

        ordinary = items_of(records, purpose, origin or (None, None))
        items = list(read_probes(file) if purpose == "probe" else ordinary)  # before others have to wait
        with store.write() as tx:
            found = projects.named(tx, project)
            count = projects.add_items(tx, found.id, items)
    if as_json:
        print_json({"items": count, "project": project})
    else:
        out.print(Text(f"{count} items in {project}"), soft_wrap=True)


@label_app.command()
def export(
    project: Project,
    form: Annotated[
        Literal["jsonl", "csv", "parquet", "comparisons", "rankings", "trl"],
        typer.Option("--format", help="The form."),
    ] = "jsonl",
    file: Annotated[
        Path | None, typer.Option("--out", help="The file to write; named after the project.")
    ] = None,
    text: Annotated[
        bool, typer.Option("--text/--no-text", help="Prompts and answers too, or ids only.")
    ] = True,
    db: Db = DEFAULT,
) -> None:
    """Write every label that counts."""
    with opened(db) as store:
        from gnomon.labelling.export import ENDINGS, stream  # noqa: PLC0415  an extra
        from gnomon.labelling.store import projects  # noqa: PLC0415

        with store.read() as tx:
            found = projects.named(tx, project)
        target = file or Path(f"{project}.{ENDINGS[form]}")
        if target.exists():
            raise ConfigError(f"{target} is there already; name another with --out")
        _make_folder_of(target)
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            with storing(target.parent), draft.open("wb") as written:
                for piece in stream(store, found.id, form, with_text=text):
                    written.write(piece)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    if not target.stat().st_size:
        warn(f"{target} is empty: nothing in {project} goes into {form} yet")
    out.print(Text(str(target)), soft_wrap=True)


@label_app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")], db: Db = DEFAULT
) -> None:
    """Copy the database while it is in use."""
    with opened(db) as store:
        from gnomon.labelling.store.database import back_up  # noqa: PLC0415  an extra

        _make_folder_of(file)
        back_up(store, file)
    out.print(Text(str(file)), soft_wrap=True)


def _guidelines(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"--guidelines {file} cannot be read ({problem}); name a UTF-8 text") from problem


def _make_folder_of(file: Path) -> None:
    with storing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)


def _settings(pairs: list[str]) -> Any:
    from gnomon.labelling.settings import ProjectSettings  # noqa: PLC0415  an extra

    values = dict(pair.partition("=")[::2] for pair in pairs)
    try:
        return ProjectSettings.model_validate(values)
    except ValidationError as problem:
        error = problem.errors()[0]
        known = ", ".join(ProjectSettings.model_fields)
        raise ConfigError(
            f"--set {'.'.join(map(str, error['loc']))}: {error['msg']} (settings: {known})"
        ) from problem


@contextmanager
def needing_extra(extra: str = "label") -> Iterator[None]:
    """Around imports of what an extra brings: ConfigError says how to install what is missing."""
    try:
        yield
    except ImportError as problem:
        raise ConfigError(
            f"gnomon label needs a package that is missing ({problem}): pip install 'gnomon[{extra}]'"
        ) from problem


@contextmanager
def opened(db: str, *, make: bool = False) -> Iterator["Store"]:
    """The database, opened and closed again; ConfigError where a file is not there and not to be made."""
    with needing_extra():
        from gnomon.labelling.store.database import open_store  # noqa: PLC0415  an extra
    if not (make or "://" in db or Path(db).exists()):
        raise ConfigError(
            f"there is no database {db}; name it with --db or GNOMON_LABEL_DB, or make one with "
            "gnomon label init"
        )
    with closing(open_store(db)) as store:
        yield store
