"""Makes house models: data, loop, evaluation, export. Needs the extra `train`; nothing at run time imports it."""
