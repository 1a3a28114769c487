"""Sensors' products as they are downloaded: recognised by content, read in physical units."""
