"""Models of other programs: packages of bioimage.io, read without running any code that they contain."""
