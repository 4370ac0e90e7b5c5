"use strict";
// Copies the command line beside a button.
(() => {
  const SHOWN_MS = 2000; // Long enough to be read.

  // Where there is no clipboard (a page that comes neither from a file nor under TLS), or it is refused, the text is
  // selected and copied as the keyboard would.
  async function copy(code) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(code);
      return document.execCommand("copy");
    }
  }

  for (const button of document.querySelectorAll("button.copy")) {
    const code = button.previousElementSibling;
    button.hidden = false;
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      button.textContent = (await copy(code)) ? "Copied" : "Selected";
      setTimeout(() => {
        button.textContent = "Copy";
      }, SHOWN_MS);
    });
  }
})();
