# SPDX-License-Identifier: EUPL-1.2
"""What flows into the city by itself: devices over MQTT, and feeds that are asked again and again.

A connection is a TOML file in the city's folder `connections/`. It names a map, as `poorter load`
has them, and works under a grant like everybody else. Every reading is counted: new, known
already, a correction, without a value, or refused with a reason.
"""
