"""One builder a compiler: an ONNX deploy graph in, payload files in a folder out."""
