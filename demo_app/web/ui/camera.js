// A dialog with the camera's picture: one shot, or as many as wanted while the button is held.

import { el, say } from "./dom.js";

const EVERY = 300;  // milliseconds between two shots of a held button

// -> shots as Files; none where it was left by Escape, or there is no camera.
export async function photograph(several) {
  const video = el("video", { autoplay: true, playsInline: true, muted: true, l: "camera_view" });
  const said = el("p", { role: "status" }), shots = [];
  const shoot = el("button", { t: several ? "shoot_hold" : "shoot", class: "first", type: "button", disabled: true });
  const done = el("button", { t: "done", type: "button" }),
    turn = el("button", { t: "turn", class: "quiet", type: "button" });
  const dialog = el("dialog", { l: "camera" }, video, said, el("div", { class: "row" }, shoot, turn, done));
  document.body.append(dialog);
  dialog.showModal();
  let stream = null, facing = "environment", timer = 0, opening = 0;
  async function open() {
    const mine = ++opening;
    stop();
    try {
      if (!navigator.mediaDevices) throw new Error(say("camera_needs_https"));
      const found = await navigator.mediaDevices.getUserMedia({ video: { facingMode: facing } });
      if (!dialog.open || mine !== opening) return found.getTracks().forEach((track) => track.stop());
      stream = found;
      video.srcObject = stream;
      await video.play();
      shoot.disabled = false;
    } catch (error) {
      said.textContent = say("problem_camera", { why: error.message });
    }
  }
  const stop = () => stream?.getTracks().forEach((track) => track.stop());
  async function take() {
    const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    if (!blob) return;
    shots.push(new File([blob], say("shot", { n: shots.length + 1 }), { type: "image/png" }));
    said.textContent = say("shots", { n: shots.length });
    if (!several) dialog.close();
  }
  shoot.onclick = take;
  if (several) {
    shoot.onpointerdown = () => { timer = setInterval(take, EVERY); };
    shoot.onpointerup = shoot.onpointerleave = shoot.onpointercancel = () => clearInterval(timer);
  }
  turn.onclick = () => { facing = facing === "user" ? "environment" : "user"; open(); };
  dialog.oncancel = () => { shots.length = 0; };
  done.onclick = () => dialog.close();
  open();
  await new Promise((resolve) => { dialog.onclose = resolve; });
  clearInterval(timer);
  stop();
  dialog.remove();
  return shots;
}
