"""What happens in each stage of a job, in a sentence for who looks on."""

from collections.abc import Mapping

from sparsebook_compressor.progress import Stage

STAGES_SAID: Mapping[Stage, str] = {
    "admit": "Reading the model and checking that ONNX Runtime takes it",
    "survey": "Finding the weights and what each of them is for",
    "plan": "Deciding how many values of each weight stay and how they are shared",
    "prune": "Setting the smallest values of each weight to zero",
    "retrain": "Training the values that are left until they make up for those that are gone",
    "share": "Grouping the values of each weight around a few centroids",
    "tune": "Training the centroids",
    "encode": "Writing each weight as Huffman codes",
    "pack": "Putting the encoded weights into the ONNX file",
    "verify": "Running the original and the artifact on the same inputs and comparing",
}
