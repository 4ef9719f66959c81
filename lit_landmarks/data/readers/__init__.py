"""One module per on-disk format; each holds a `FaceDataset`.

Shared: `listed` (the loop over faces), `common` (paths that stay in the folder, boxes, selection),
`mat5` (MATLAB files up to version 7) and `hdf5` (version 7.3), which refuse every damaged file with
one `UserError`.
"""

import importlib
import pkgutil


def import_readers() -> None:
    """Import every module of the package, which registers its data sets in `DATASETS`."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
