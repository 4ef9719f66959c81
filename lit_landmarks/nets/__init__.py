"""Torch parts that more than one method uses. Pure torch: no Lightning, no data.

`backbone` timm networks, to a vector or to maps; `hourglass` networks; `attention` among landmarks;
`windows` patches around points; `heatmaps` their targets and decoding; `losses` of points, maps and
pose; `error_head` predicts one's own error; `precision` which layers stay in single precision under
autocast.
"""
