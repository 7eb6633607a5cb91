"""What the body of a submission may be, for the contract."""

from typing import Any

from sparsebook_service.contract import refusals

BINARY = {"type": "string", "format": "binary"}
BODY: dict[str, Any] = {
    "responses": {str(status): answer for status, answer in refusals("body-timeout").items()},
    "requestBody": {
        "required": False,
        "description": "The model, raw or as a form. A .zip holds one .onnx file and its external data.",
        "content": {
            "application/octet-stream": {"schema": BINARY},
            "application/zip": {"schema": BINARY},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["model"],
                    "additionalProperties": False,
                    "properties": {
                        "model": {
                            **BINARY,
                            "description": "The .onnx file, or a .zip of it and its external data",
                        },
                        "data": {
                            "type": "array",
                            "items": BINARY,
                            "description": "Files .npz that continue each other: one array a graph input, "
                            "samples on the first axis",
                        },
                        "loss": {
                            **BINARY,
                            "description": "A small .onnx graph over the outputs and the data's arrays: "
                            "a scalar to train for",
                        },
                        "metric": {
                            **BINARY,
                            "description": "Likewise, a scalar to measure by",
                        },
                        "base": {
                            **BINARY,
                            "description": "The last release's artifact, a model.onnx without a data file: weights keep "
                            "its codebooks and codes, and the bundle has an update from it",
                        },
                        "config": {"$ref": "#/components/schemas/Config"},
                        "external": {
                            "type": "array",
                            "items": BINARY,
                            "description": "Files of external data; the file names are the model's, '/' between folders",
                        },
                    },
                },
                "encoding": {"config": {"contentType": "application/json"}},
            },
        },
    },
}
