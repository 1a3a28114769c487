"""Scenes: how they are found, prepared, divided into patches and fed to the devices."""
