// Completes the field that is being written at the end of a condition. The browser shows the list; without a script it
// offers whole fields.
const ENDING = /[\w.-]*$/;
const SHOWN = 30;

export function completeFields(input) {
  const list = input.list;
  const names = [...list.options].map((option) => option.value);
  input.addEventListener("input", () => {
    if (input.selectionStart !== input.value.length) return;
    const { index, 0: word } = ENDING.exec(input.value);
    const before = input.value.slice(0, index);
    const near = word ? names.filter((name) => name !== word && name.toLowerCase().includes(word.toLowerCase())) : [];
    list.replaceChildren(...near.slice(0, SHOWN).map((name) => new Option(name, before + name)));
  });
}
