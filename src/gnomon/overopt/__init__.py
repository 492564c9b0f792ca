"""The laboratory of over-optimisation: a planted gold, its noisy labels, proxies of it, climbs."""
