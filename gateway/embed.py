"""Writes a file as a C array: embed.py INPUT OUTPUT NAME."""
import sys

source, target, name = sys.argv[1:4]
with open(source, "rb") as file:
    data = file.read()
lines = [", ".join(str(byte) for byte in data[at:at + 24]) for at in range(0, len(data), 24)]
with open(target, "w", encoding="ascii") as file:
    file.write(f"/* Made from {source.rsplit('/', 1)[-1]}. */\n")
    file.write(f"extern const unsigned char {name}[];\nextern const unsigned {name}_size;\n")
    file.write(f"const unsigned char {name}[] = {{\n    " + ",\n    ".join(lines) + "};\n")
    file.write(f"const unsigned {name}_size = {len(data)};\n")
