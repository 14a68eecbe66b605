"""smie: from a role to an artefact."""
