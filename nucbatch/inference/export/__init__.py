"""Models in formats that other programs run: ONNX files and packages of bioimage.io."""
