"""Results as one HTML page that needs nothing else: no network, no server, no other file.

`document` writes pages out of sections, tables and charts; `figures` makes the charts; `run` is the page of a run.
"""
