"""What cannot be tried here: many gateways, many nodes. Models that say what they assume; nothing here touches a node.

- `hashing`: which gateway a router sends a flow to.
- `flows`: which flows break when a gateway leaves, fails or comes back, and what forwarding them costs.
- `capacity`: how many gateways a load needs when some may be away.
- `durations`: how long a roll-out takes.
- `pictures`: all of it as SVG.
"""
