"""What goes wrong at real sites, looked at from where the node stands: a finding and a next step for each.

`looking.look` is the whole examination. It changes nothing: no file stays, no row is written, no study is asked for.
"""
