"""In: a finished map. Out: the forms that other people and systems take, in one folder."""

from runtime.deliver.delivery import FORMS as FORMS
from runtime.deliver.delivery import Cells as Cells
from runtime.deliver.delivery import deliver as deliver
