"""Is anything lost, doubled or left untold when things fail? A real daemon on a real broker, killed again and again.

traffic: what is sent, and the references. process: the daemon, killed and started anew. truth: one offline pass over
the same topic, and how the two are compared. kills, members, outage, recovery: one fault each.
"""
