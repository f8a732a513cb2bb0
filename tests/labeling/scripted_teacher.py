"""A teacher that says what a function says."""

import asyncio

from stillroom.labeling.teachers.protocol import TeacherAnswer


class Scripted:
    """A teacher whose answer to the n-th call is what a function says."""

    name, revision = "scripted", None
    honours_idempotency = False

    def __init__(self, answer, *, tokens=(10, 5), pause_s=0.0):
        self.answer, self.tokens, self.pause_s = answer, tokens, pause_s
        self.asked, self.call_ids, self.profiles = [], [], []
        self.now = self.most = self.closed = 0

    async def ask(self, prompt, profile, *, call_id=""):
        self.asked.append(prompt)
        number = len(self.asked)
        self.call_ids.append(call_id)
        self.profiles.append(profile)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.pause_s)
            said = self.answer(prompt, number)
        finally:
            self.now -= 1
        if isinstance(said, Exception):
            raise said
        if isinstance(said, TeacherAnswer):
            return said
        return TeacherAnswer(said, "stop", *self.tokens, "scripted-1")

    async def close(self):
        self.closed += 1
