"""The layouts in which people keep labelled images: one file each, a folder → what it holds."""
