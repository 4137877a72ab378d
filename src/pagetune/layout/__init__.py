"""What stands where on a page, and in which language and script: what every room above needs to know of a text."""
