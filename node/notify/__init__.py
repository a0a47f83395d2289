"""People are notified: what rules have to say to them leaves by mail or webhook, and is never lost or said twice."""
