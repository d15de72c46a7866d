"""The report as an assignment in a course: made for one student, filled in, built, handed in, graded.

The design, which the modules keep to:

- `variant.py`, the rule. A student number gives seed, latent_dim and learning_rate; everything else is the base
  profile's. Anyone recomputes it: `python environment.py run -m assignment variant NIM`.
- `derive.py`, the notebooks. Chapters 00 to 04 become the student's by code, so that they never drift from the report:
  parameters are the variant's, a sentence that reads a result gives way to the values in it, a verdict to what it
  measured, and behind them stand a prompt and an empty cell with a stable id. Exercises and links to other chapters go.
  Which sentences are readings, and what is asked about them, stands in `prompts.yml`, in both languages.
- `folder.py`, assignment/ in the project's folder. Git ignores it, as it is one student's and a clone is everybody's;
  no verb deletes it, `make clean` and `distclean` neither. Given again, `make assignment` adds what is missing and
  leaves what is there; another number or base is refused. What was written is read by cell id and nothing else is.
- `claims.py`, three claims. Without all three no training begins. The run keeps a copy and, in provenance.json, its
  SHA-256 (`Run.keep_claims`); begun.csv lists each training begun, also of runs that were deleted since. A claim
  that is changed afterwards is judged all the same, and the build and the grader say what was changed.
- `student.py`, the report. `make report PROFILE=assignment` executes notebooks that are derived anew, so nothing that
  was changed in the student's code has an effect, and sets the student's texts into the executed ones: writing makes
  no notebook run again. It ends with what is still empty and with NIM.zip, what is handed in.
- `handin.py` and `grade.py`, the lecturer's side. A hand-in is data: known names only, bounded sizes, no pickle, no
  code of it is executed, no link is followed. The weights are measured again on the data; a hand-in is compared with
  the rule, with this checkout and with the others.

What files alone cannot show: a student who forges every file consistently, or who trains in a second clone first.
Claims collected before the training (their SHA-256 suffices) and a talk close that gap; the lecturer's page says so.
"""
