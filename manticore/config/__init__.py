"""All options of all stages, as pydantic models. Nothing here needs torch."""
