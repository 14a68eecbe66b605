"""What artefacts consist of: trees of files, OCI layouts, images, chunks; into bytes and out of them."""
