"""Models in the ONNX form as plugins, without code: `[onnx]` of a plugin.toml says what goes in and what comes out.

`mapping` is what it says; `reading` and `outputs` read it. `geometry` and `intensity` make the model's grid and values
of the images, `preparing` its input, `running` asks it, in windows and slices. `maps`, `places` and `numbers` give its
outputs their meaning on the images' own grid. `signature` compares its file with the manifest.
"""
