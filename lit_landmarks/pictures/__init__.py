"""Decoding picture files: whole or refused, on a stated pixel grid, in 8 bits.

`decode_image` reads JPEG, PNG, WebP, BMP, TIFF and binary PNM; other formats are refused by name.

Damage: every warning of the JPEG decoder, every checksum of PNG, and every length that a file
states are checked, so a picture that was cut, or whose data do not fit its headers, is refused.
Formats without checksums cannot show every damage: see "Damaged pictures" in `data/README.md`.
Foreign bytes behind a whole picture (as phones append) are no damage.

Pixel grid: "stored" gives the pixels as they stand in the file, whatever its orientation tag says;
"shown" turns them as viewers and annotation tools do. Both hold for all formats: the tag is that
of the EXIF block of JPEG (APP1), PNG (`eXIf`) and WebP (`EXIF`), and TIFF's own; BMP and PNM have
none.

Range: 16-bit pictures come from sensors of fewer bits. The smallest of 8, 10, 12, 14 and 16 bits
that holds the largest value of the picture is taken for its range; binary PNM states it. Palettes
and 1, 2 and 4 bits become colors; alpha is ignored (TIFF, whose decoder mixes it in, is refused
unless it is opaque); CMYK is converted. Floating point and signed pixels are refused.
"""

from lit_landmarks.pictures.decoding import decode_image
from lit_landmarks.pictures.orientation import GRIDS, Grid, orientation_tag

__all__ = ["GRIDS", "Grid", "decode_image", "orientation_tag"]
