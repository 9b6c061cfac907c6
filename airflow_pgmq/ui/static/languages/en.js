export default {
  "{count} messages deleted": {
    "one": "{count} message deleted",
    "other": "{count} messages deleted"
  },
  "Release {count} messages?": {
    "one": "Release {count} message?",
    "other": "Release {count} messages?"
  },
  "The next readers can read them at once, even if consumers are working on them now.": {
    "one": "The next reader can read it at once, even if a consumer is working on it now.",
    "other": "The next readers can read them at once, even if consumers are working on them now."
  },
  "{count} messages released": {
    "one": "{count} message released",
    "other": "{count} messages released"
  },
  "Requeue {count} messages?": {
    "one": "Requeue {count} message?",
    "other": "Requeue {count} messages?"
  },
  "They go back to the queue that they came from, as new, unread messages.": {
    "one": "It goes back to the queue that it came from, as a new, unread message.",
    "other": "They go back to the queue that they came from, as new, unread messages."
  },
  "{count} messages requeued": {
    "one": "{count} message requeued",
    "other": "{count} messages requeued"
  },
  "Delete {count} messages?": {
    "one": "Delete {count} message?",
    "other": "Delete {count} messages?"
  },
  "They are deleted, not archived. This cannot be undone.": {
    "one": "It is deleted, not archived. This cannot be undone.",
    "other": "They are deleted, not archived. This cannot be undone."
  },
  "Requeue the oldest {count} dead letters?": {
    "one": "Requeue the oldest {count} dead letter?",
    "other": "Requeue the oldest {count} dead letters?"
  },
  "Requeue {count} dead letters?": {
    "one": "Requeue {count} dead letter?",
    "other": "Requeue {count} dead letters?"
  },
  "{count} not requeued: their queues do not exist": {
    "one": "{count} not requeued: its queue does not exist",
    "other": "{count} not requeued: their queues do not exist"
  },
  "{count} messages chosen": {
    "one": "{count} message chosen",
    "other": "{count} messages chosen"
  },
  "Searched {count} messages so far; there are more.": {
    "one": "Searched {count} message so far; there are more.",
    "other": "Searched {count} messages so far; there are more."
  },
  "Slots of the next {count} days, in {zone}": {
    "one": "Slots of the next day, in {zone}",
    "other": "Slots of the next {count} days, in {zone}"
  },
  "{count} slots": {
    "one": "{count} slot",
    "other": "{count} slots"
  },
  "Next {count} slots of {name}": {
    "one": "Next {count} slot of {name}",
    "other": "Next {count} slots of {name}"
  },
  "{count} messages taken back": {
    "one": "{count} message taken back",
    "other": "{count} messages taken back"
  },
  "{count} tries": {
    "one": "{count} try",
    "other": "{count} tries"
  },
  "{tries}, in {count} reads": {
    "one": "{tries}, in {count} read",
    "other": "{tries}, in {count} reads"
  },
  "failed after {count} tries": {
    "one": "failed after {count} try",
    "other": "failed after {count} tries"
  },
  "Show more ({count} slots left)": {
    "one": "Show more ({count} slot left)",
    "other": "Show more ({count} slots left)"
  },
  "{count} jobs": {
    "one": "{count} job",
    "other": "{count} jobs"
  },
  "Last {count} slots: {states}": {
    "one": "Last slot: {states}",
    "other": "Last {count} slots: {states}"
  },
  "(samples of {known} of {count} minutes)": {
    "one": "(samples of {known} of {count} minute)",
    "other": "(samples of {known} of {count} minutes)"
  },
  "{count} days": {
    "one": "{count} day",
    "other": "{count} days"
  },
  "{count} jobs use it and will wait until it is there again.": {
    "one": "{count} job uses it and will wait until it is there again.",
    "other": "{count} jobs use it and will wait until it is there again."
  },
  "{count} calendars": {
    "one": "{count} calendar",
    "other": "{count} calendars"
  },
  "There is no such calendar, so {count} jobs wait for it.": {
    "one": "There is no such calendar, so {count} job waits for it.",
    "other": "There is no such calendar, so {count} jobs wait for it."
  },
  "{count} more slots overdue.": {
    "one": "{count} more slot overdue.",
    "other": "{count} more slots overdue."
  },
  "Of the last 14 days, at most {count} slots; by day and hour in {zone}, with the worst state in each hour.": {
    "one": "Of the last 14 days, at most {count} slot; by day and hour in {zone}, with the worst state in each hour.",
    "other": "Of the last 14 days, at most {count} slots; by day and hour in {zone}, with the worst state in each hour."
  },
  "{count} queues": {
    "one": "{count} queue",
    "other": "{count} queues"
  },
  "{number} dead letters": {
    "one": "{number} dead letter",
    "other": "{number} dead letters"
  },
  "This task sent {count} messages that can still be found.": {
    "one": "This task sent {count} message that can still be found.",
    "other": "This task sent {count} messages that can still be found."
  },
  "This run sent {count} messages that can still be found.": {
    "one": "This run sent {count} message that can still be found.",
    "other": "This run sent {count} messages that can still be found."
  },
  "This Dag sent {count} messages that can still be found.": {
    "one": "This Dag sent {count} message that can still be found.",
    "other": "This Dag sent {count} messages that can still be found."
  },
  "About {count} dead letters wait in {queue}.": {
    "one": "About {count} dead letter waits in {queue}.",
    "other": "About {count} dead letters wait in {queue}."
  },
  "{count} dead letters wait in {queue}.": {
    "one": "{count} dead letter waits in {queue}.",
    "other": "{count} dead letters wait in {queue}."
  }
};
