"""The viewer: napari with image, nuclei and their table linked, live thresholds, and corrections.

Only this package knows napari and Qt. ``window.py`` opens it, and ``panel.py`` says what happens at each
click, with the layers of the image (``layers.py``), the table (``nuclei_table.py``) and the buttons
(``controls.py``). What a threshold or a correction does to the nuclei is in ``field_review.py``, which needs
no window.
"""
