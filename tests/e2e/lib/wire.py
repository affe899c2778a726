"""Protocol Buffers' wire format (protobuf.dev/programming-guides/encoding), as much as tests need."""


def varint(n):
    """Negative numbers are written as 64-bit ones."""
    n &= (1 << 64) - 1
    out = b""
    while n > 0x7f:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def delimited(number, data):
    """A string, bytes or message, written also when it is empty."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def parse(data):
    """{field number: [values]}: numbers, or bytes that parse() may take apart."""
    out, at = {}, 0

    def number():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return n
    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            value = number()
        else:
            size = number() if tag & 7 == 2 else {1: 8, 5: 4}[tag & 7]
            value, at = data[at:at + size], at + size
            if len(value) < size:
                raise ValueError(f"field {tag >> 3} is cut short")
            if tag & 7 != 2:
                value = int.from_bytes(value, "little")
        out.setdefault(tag >> 3, []).append(value)
    return out
