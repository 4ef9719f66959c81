"""Torch parts that more than one method uses. Pure torch: no Lightning, no data.

Networks:

    backbone.py               timm networks, to a vector or to maps
    fused_map.py              the maps of a timm network, brought together at the finest stride
    hourglass.py              hourglass networks
    attention.py              attention among landmarks
    windows.py                square windows around points, of images and of maps
    spatial_softmax.py        a feature vector that says where features are
    query_code.py             codes of points of the template

Decoding, losses, learning:

    heatmaps.py               heat maps, their targets and decoding
    losses.py                 losses of points, maps and pose
    distillation.py           labels drawn towards the landmarks of a teacher
    precision.py              what stays in single precision under autocast

Parts that any method takes by configuration (`component.py` records their arguments):

    normalizer.py             spatial normalizers; similarity_normalizer.py is one
    correction.py             corrections between annotation conventions: query_correction.py of
                              queries, canonical_correction.py of fixed landmarks
    label_shift.py            how far labels of a convention lie to one side
    head3d.py                 3D shape, pose and focal length from 2D labels
    mesh_visibility.py        visibility by the mesh of a predicted 3D shape
    error_head.py             prediction of a method's own error
    early_exit.py             thresholds at which faces leave a cascade
    cascade_stages.py         what a cascade has computed while faces leave it
"""
