"""From a spec to a run: building, fitting, measuring, keeping."""
