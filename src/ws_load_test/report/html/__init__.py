"""Results as one HTML page without a network, a server, or other files.

`document` writes pages out of sections, tables and charts; `figures` makes the charts; `run` is the page of a run.
"""
