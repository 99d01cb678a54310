// Plans while one types: the same address, asked again when the form has rested.
const REST_MS = 600;

export function planWhileTyping(form) {
  let timer = 0;
  let asked = 0;
  const plan = async () => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    const address = query.size ? `/plan?${query}` : "/plan";
    const number = ++asked;
    document.getElementById("plan").setAttribute("aria-busy", "true");
    const answer = await fetch(address).catch(() => null);
    if (number !== asked || !answer) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of ["#plan", "footer"]) {
      const fresh = page.querySelector(part);
      if (fresh) document.querySelector(part)?.replaceWith(fresh);
    }
    history.replaceState(null, "", address);
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(plan, REST_MS);
  });
}
