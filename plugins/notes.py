"""Sentences about the limits of an analysis that adapters write, and that readers get in their language.

A plugin's own limits are shown as they are. These are the node's: `node.own_notes` knows them, in each language.
"""

NOT_OUTLINED = "Nothing was outlined for: {names}."
PARTS_LEFT_OUT = "Not listed, further parts of {name}: {count}, together {volume} mL."
PARTLY_SEEN = "Analysed in part only: what lies at the edge of the images was cut off."
