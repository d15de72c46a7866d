"""What the notebooks speak, measure and draw with. It imports `cae_lib`; `cae_lib` never imports it."""
