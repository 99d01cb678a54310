"""The pages of `fedml ui`: a route reads a view model and fills a template. Pages ask regions and stores as commands do."""
