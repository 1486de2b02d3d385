"""The HTTP door: routes, request and response models, the status table, the server. Knows no store, stage or model."""
