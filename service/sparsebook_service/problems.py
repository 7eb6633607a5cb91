"""The problem types: what a `type` of an error answer means, and what to do about it.

One table feeds the answers (RFC 9457), the pages under `/problems/`, the OpenAPI document and docs/http.md.
"""

from dataclasses import dataclass

from sparsebook_compressor.errors import SparsebookError
from sparsebook_service.schemas import Problem


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A row of the table.

    Attributes:
        slug: the last part of `type`; never changes once released.
        status: the HTTP status it is answered with.
        title: the same for every occurrence.
        meaning: what has happened, in general.
        remedy: what the caller can do.
    """

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str

    @property
    def uri(self) -> str:
        """The `type` of an answer: a path below this service."""
        return f"/problems/{self.slug}"


CATALOGUE: tuple[ProblemType, ...] = (
    ProblemType(
        "not-onnx",
        422,
        "Not an ONNX file",
        "The bytes are not an ONNX model: empty, truncated, or something else.",
        "Send the .onnx file itself (or a .zip of it and its external data) and check that it was copied whole.",
    ),
    ProblemType(
        "invalid-graph",
        422,
        "The graph is not valid ONNX",
        "The file is ONNX, but its graph breaks the standard, or an encoded weight in it is damaged.",
        "Check the model with onnx.checker.check_model and export it again.",
    ),
    ProblemType(
        "external-data-missing",
        422,
        "External data is missing",
        "A weight's bytes live in a file that did not come with the model, or that is too short.",
        "Send the files beside the model as `external` parts or in one .zip, under the names the model uses.",
    ),
    ProblemType(
        "external-data-outside",
        422,
        "External data lies outside the model's folder",
        "A file name is absolute, leads out of the model's folder, is a link, or is given twice.",
        "Save the model again with its external data beside it, under plain relative names.",
    ),
    ProblemType(
        "not-finite",
        422,
        "A weight is not finite",
        "A weight holds NaN, or every weight holds infinity: no codebook can share these.",
        "Find out in training where the value comes from; the detail names the weight.",
    ),
    ProblemType(
        "nothing-to-compress",
        422,
        "Nothing to compress",
        "No weight of the model is left to work on: all are tiny, integers, computed, or skipped.",
        "Check that the model was exported with its weights, as floats; relax `skip` under `weights` in the config.",
    ),
    ProblemType(
        "unknown-option",
        400,
        "Unknown option",
        "The config has a key that does not exist, or a value that belongs elsewhere.",
        "Remove the key that the detail names, or correct its spelling.",
    ),
    ProblemType(
        "bad-value",
        400,
        "A value is not allowed",
        "A value of the config, a parameter, a header or a form part is malformed or out of its range.",
        "Correct the value that the detail names.",
    ),
    ProblemType(
        "bad-data",
        422,
        "The data does not fit the model",
        "The .npz file cannot be read, its arrays do not match the model's inputs, or nothing can be learned from what they hold.",
        "Mend what the detail names; a data file has one array a graph input, samples on the first axis, without pickled objects.",
    ),
    ProblemType(
        "not-trainable",
        422,
        "The model cannot be fine-tuned",
        "No weight of the graph can get a gradient, or there is nothing to fine-tune with.",
        "Read in the detail what stands in the way; a compression without data, or with train.loss none, needs no training.",
    ),
    ProblemType(
        "diverged",
        422,
        "Training diverged",
        "The loss became infinite or NaN. What was reached before is kept: the job has a result.",
        "Lower train.learning_rate, or look for outliers in the data and for a loss that is not bounded.",
    ),
    ProblemType(
        "budget-not-met",
        422,
        "The budget cannot be met",
        "No setting keeps the metric within the budget. The best that was found is kept: the job has a result.",
        "Allow a larger drop, or train longer (train.epochs) on more data.",
    ),
    ProblemType(
        "gate-not-met",
        422,
        "The artifact misses a gate",
        "The artifact is larger (budget.min_ratio) or slower (budget.max_latency_ms) than asked for. It is kept: the job has a result.",
        "Allow less, or ask for fewer bits, a lower density or another preset; the detail says what was reached.",
    ),
    ProblemType(
        "push-failed",
        502,
        "The artifact could not be pushed",
        "The bucket that `push` names refused the files, or did not answer. The artifact is kept: the job has a result.",
        "Download it from the job; check that the service may write to the bucket, and submit again.",
    ),
    ProblemType(
        "too-large",
        413,
        "Too large",
        "The upload, or what it unpacks to, is larger than this service accepts.",
        "Send less, or raise SPARSEBOOK_MAX_UPLOAD_BYTES (of data SPARSEBOOK_MAX_DATA_BYTES) where the service runs.",
    ),
    ProblemType(
        "malformed-request",
        400,
        "The request cannot be read",
        "The body is not what its Content-Type says, or ended before it was complete; or what came is no HTTP request.",
        "Send it again; let an HTTP client build the request and its multipart body.",
    ),
    ProblemType(
        "headers-too-large",
        431,
        "The head of the request is too large",
        "The request line and the headers have together more than 64 KiB.",
        "Send less: a config in the body, as a part of a form, and no cookies of other services.",
    ),
    ProblemType(
        "body-timeout",
        408,
        "The body does not arrive",
        "Nothing has come of the body for a while, so the connection was closed; SPARSEBOOK_BODY_IDLE_SECONDS says how long.",
        "Send the request again, over a line that holds; large files go piece by piece with POST /uploads.",
    ),
    ProblemType(
        "unsupported-media-type",
        415,
        "This kind of body is not accepted",
        "A model comes as multipart/form-data or as a raw body; the Content-Type says something else, or a Content-Encoding says that it is compressed.",
        "Use multipart/form-data, application/octet-stream or application/zip.",
    ),
    ProblemType(
        "digest-mismatch",
        400,
        "The digest does not match",
        "The bytes that arrived do not have the Content-Digest that was announced.",
        "Send the request again; if it persists, check how the digest is computed (sha-256 over the body as sent).",
    ),
    ProblemType(
        "idempotency-conflict",
        409,
        "The Idempotency-Key belongs to another request",
        "The key was used before with another model, data, config or webhook.",
        "Use a new key for a new request; the same key only for a repetition of the same one.",
    ),
    ProblemType(
        "unauthorized",
        401,
        "An API key is needed",
        "The service asks for an API key, and none came, or one that does not exist, has expired or was revoked.",
        "Send Authorization: Bearer with a key from `sparsebook keys create` (--api-key, SPARSEBOOK_API_KEY).",
    ),
    ProblemType(
        "forbidden",
        403,
        "This is not allowed",
        "The key lacks the scope that this needs, or another machine's page asks a service that serves its own alone.",
        "Use a key with the scope that the detail names, or ask the service under the name of its own machine.",
    ),
    ProblemType(
        "rate-limited",
        429,
        "Too many requests",
        "The key has asked more often than it may within a minute.",
        "Wait as many seconds as Retry-After says; instead of asking again and again use `?wait=`.",
    ),
    ProblemType(
        "quota-exceeded",
        429,
        "The key's quota is used up",
        "The key has as many jobs or stored bytes as it may have; nothing of the upload was kept.",
        "Wait until jobs have ended (Retry-After), delete jobs that are no longer needed, or use a key that may have more.",
    ),
    ProblemType(
        "unknown-job",
        404,
        "There is no such job",
        "No job of yours has this id: it never existed here, was deleted, or another key has sent it.",
        "Check the id against the Location of the answer that accepted the job, or list the jobs.",
    ),
    ProblemType(
        "unknown-upload",
        404,
        "There is no such upload",
        "No upload has this id: it never existed here, was deleted, or has expired. Or it is not whole yet, and a job was asked for.",
        "Ask with HEAD how far it is and send the rest; where it is gone, begin again with POST /uploads.",
    ),
    ProblemType(
        "upload-conflict",
        409,
        "The upload is somewhere else",
        "The offset is not where the upload is, the upload is whole already, or another request writes to it.",
        "Ask with HEAD for the offset, and go on from there.",
    ),
    ProblemType(
        "no-result",
        409,
        "The job has no result",
        "An artifact and a report exist for a job that has succeeded, or failed in training with something to show.",
        "Wait for the job (`GET /jobs/{id}?wait=30`); if it failed, its `error` says why.",
    ),
    ProblemType(
        "cancelled",
        409,
        "The job was cancelled",
        "The job was cancelled before it was done.",
        "Submit it again if it is still wanted.",
    ),
    ProblemType(
        "deadline",
        504,
        "The job did not end in time",
        "The job had a deadline, its own or the service's, and had not ended by then.",
        "Give it more time (`?deadline=`, SPARSEBOOK_JOB_DEADLINE_SECONDS), or a smaller model; a queue that is long may be why.",
    ),
    ProblemType(
        "limit-exceeded",
        422,
        "A limit of the job's process was exceeded",
        "Reading or compressing this file needs more memory or time than a job may use.",
        "Send a smaller model, or raise the limits where the service runs (SPARSEBOOK_JOB_…).",
    ),
    ProblemType(
        "storage-full",
        507,
        "The storage is full",
        "The service has no room left for the upload or for the result; nothing half-written was kept.",
        "Delete jobs that are no longer needed, or give the service more room.",
    ),
    ProblemType(
        "uploads-full",
        507,
        "Uploads have all the room they may have",
        "The files that were announced with POST /uploads, and wait for their job, have all the room that there is for them, or the key's share of it.",
        "Delete uploads that are not needed (DELETE /uploads/{id}), or wait until they expire.",
    ),
    ProblemType(
        "not-found",
        404,
        "There is nothing at this address",
        "The path, the file of an artifact or the platform does not exist.",
        "See /docs for the addresses and the job's `result.files` for its files.",
    ),
    ProblemType(
        "method-not-allowed",
        405,
        "This method is not allowed here",
        "The address exists, but not for this method.",
        "Use one of the methods that the Allow header names.",
    ),
    ProblemType(
        "not-acceptable",
        406,
        "No representation is acceptable",
        "The Accept header leaves nothing that this address can answer with.",
        "Ask for application/json.",
    ),
    ProblemType(
        "range-not-satisfiable",
        416,
        "The range lies outside the file",
        "The Range header starts at or after the end of the file.",
        "Ask for a range within the length that Content-Range gives.",
    ),
    ProblemType(
        "not-ready",
        503,
        "The service is not ready",
        "The service is starting, stopping, or short of something it needs; the detail says what.",
        "Try again in a moment.",
    ),
    ProblemType(
        "internal",
        500,
        "Something went wrong inside Sparsebook",
        "A fault of Sparsebook's own.",
        "Try again; if it persists, report it with the job's id and the service's log.",
    ),
)

BY_SLUG = {problem_type.slug: problem_type for problem_type in CATALOGUE}


def describe(slug: str, detail: str, instance: str | None = None) -> Problem:
    """Build the problem of one occurrence.

    Args:
        slug: of the catalogue.
        detail: what is wrong here and now, for a person.
        instance: the address where it happened.
    """
    kind = BY_SLUG[slug]
    return Problem(
        type=kind.uri, title=kind.title, status=kind.status, detail=detail, instance=instance
    )


def of_error(error: SparsebookError, instance: str | None = None) -> Problem:
    """The problem that an error stands for."""
    return describe(error.problem, str(error), instance)
