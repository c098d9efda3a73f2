"""The side-by-side load bench of Tidegate; `../sidebyside` is its command."""
