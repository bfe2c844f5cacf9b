"""Every type that crosses an actor boundary: one module per protocol, and the job that users write.

To learn what an actor does, read its module here, top to bottom. Nothing here imports `actors`.
"""

from messages._base import ActorName, Message, MessageRejected, Outgoing, Query, Value
from messages.job import (
    CategoryColumn,
    ChatColumn,
    Column,
    EmbeddingColumn,
    ExpressionColumn,
    FailurePolicy,
    Job,
    JobError,
    Latency,
    Limits,
    ModelConfig,
    Output,
    Problem,
    Processor,
    PythonColumn,
    SequenceColumn,
    SimulatedProvider,
    Source,
)
from messages.job_file import load_job
from messages.metadata import SchedulingMetadata, SchedulingMetadataError
from messages.scheduler import (
    CancelJob,
    CheckJob,
    DroppedRow,
    JobAccepted,
    JobCancelling,
    JobChecked,
    JobFinished,
    JobRejected,
    JobResult,
    SubmitJob,
)
from messages.supervision import ActorSnapshot, GetSnapshot
from messages.telemetry import EventsPublished, Subscribe, Unsubscribe

__all__ = [
    "ActorName",
    "ActorSnapshot",
    "CancelJob",
    "CategoryColumn",
    "ChatColumn",
    "CheckJob",
    "Column",
    "DroppedRow",
    "EmbeddingColumn",
    "EventsPublished",
    "ExpressionColumn",
    "FailurePolicy",
    "GetSnapshot",
    "Job",
    "JobAccepted",
    "JobCancelling",
    "JobChecked",
    "JobError",
    "JobFinished",
    "JobRejected",
    "JobResult",
    "Latency",
    "Limits",
    "Message",
    "MessageRejected",
    "ModelConfig",
    "Outgoing",
    "Output",
    "Problem",
    "Processor",
    "PythonColumn",
    "Query",
    "SchedulingMetadata",
    "SchedulingMetadataError",
    "SequenceColumn",
    "SimulatedProvider",
    "Source",
    "SubmitJob",
    "Subscribe",
    "Unsubscribe",
    "Value",
    "load_job",
]
