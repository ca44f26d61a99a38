"""What people did with what they were shown, written down at once: a log beside the runs, and what it says of users."""

from recall.feedback.events import FeedbackEvent, Kind
from recall.feedback.log import Appended, FeedbackLog
from recall.feedback.settings import FeedbackSettings
from recall.feedback.state import FeedbackState, Opinion, UserFeedback

__all__ = [
    "Appended",
    "FeedbackEvent",
    "FeedbackLog",
    "FeedbackSettings",
    "FeedbackState",
    "Kind",
    "Opinion",
    "UserFeedback",
]
