"""The page's script: it sends what is chosen to the server, and keeps what is unfolded."""

ACTIONS = """
const opened = new Set();
let form = '';
element.addEventListener('toggle', (event) => {
  const fold = event.target;
  if (fold.id) { fold.open ? opened.add(fold.id) : opened.delete(fold.id); }
}, true);
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button || button.disabled) return;
  if (button.dataset.toggle) {
    const nav = button.closest(button.dataset.toggle);
    const open = nav.classList.toggle('open');
    button.setAttribute('aria-expanded', String(open));
  } else if (button.dataset.copy !== undefined) {
    navigator.clipboard.writeText(button.dataset.copy);
    const text = button.textContent;
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = text; }, 1500);
  } else if (button.dataset.action) {
    const fields = button.closest('[data-fields]');
    const given = fields ? {...fields.dataset} : {};
    for (const input of fields ? fields.querySelectorAll('input') : []) {
      given[input.name] = input.value;
    }
    trigger('click', {...given, ...button.dataset});
  }
});
element.addEventListener('submit', (event) => {
  event.preventDefault();
  trigger('submit', {...event.target.dataset, ...Object.fromEntries(new FormData(event.target))});
});
watch('value', () => {
  for (const id of opened) {
    const fold = document.getElementById(id);
    if (fold) fold.open = true;
  }
  const now = element.querySelector('form.feedback, .approval');
  const name = now ? now.dataset.run || now.dataset.approval : '';
  if (now && name !== form) now.scrollIntoView({block: 'nearest'});
  form = name;
});
"""
"""Of the conversation, the list of threads and the table."""

FOLLOW = """
const toEnd = () => {
  const box = document.getElementById('composer');
  const end = document.documentElement.scrollHeight - window.innerHeight;
  if (end - window.scrollY < 400 || props.value.length < 1500) {
    window.scrollTo({top: end, behavior: 'instant'});
  }
};
watch('value', () => { if (props.value) requestAnimationFrame(toEnd); });
"""
"""Of the turn in progress: keeps its end in view unless the reader has scrolled up."""

ADDRESS = """
(thread) => {
  const address = new URL(window.location.href);
  if (thread) address.searchParams.set('thread', thread);
  else address.searchParams.delete('thread');
  window.history.replaceState(window.history.state, '', address);
}
"""
"""Puts the thread into the page's address, so that a reload shows it again."""

DOWNLOAD = """
(text) => {
  if (!text) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob(['\\ufeff', text], {type: 'text/csv;charset=utf-8'}));
  link.download = 'answers.csv';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
"""
"""Saves a text as `answers.csv`; the mark at its start tells spreadsheets that it is UTF-8."""
