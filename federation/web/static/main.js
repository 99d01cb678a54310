// Starts the modules that make a page more comfortable. Every page shows its facts without them.
import { followPage } from "./live.js";
import { listenToKeys } from "./keys.js";
import { switchTheme } from "./theme.js";
import { showLocalTimes } from "./times.js";
import { copyOnClick } from "./copy.js";
import { brushAxes } from "./brush.js";
import { followLog } from "./logs.js";
import { completeFields } from "./complete.js";
import { followSlider } from "./slider.js";
import { planWhileTyping } from "./plan.js";

switchTheme();
showLocalTimes(document);
copyOnClick();
listenToKeys();
followPage();

const planForm = document.querySelector("form[data-plan]");
if (planForm) planWhileTyping(planForm);

for (const box of document.querySelectorAll("[data-follow]")) followLog(box);
for (const input of document.querySelectorAll("input[data-fields]")) completeFields(input);
for (const form of document.querySelectorAll("form[data-slider]")) followSlider(form);
for (const section of document.querySelectorAll("section[data-brush]")) brushAxes(section);
