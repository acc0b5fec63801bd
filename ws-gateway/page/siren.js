// The page's voice. Browsers let a page sound only after a tap, so it is silent until `unlock`, and says so.
// A real call rings until it is stopped; a drill chimes once, and in another voice.

const REPEAT_MS = 2_400;
const VIBRATION = [400, 150, 400, 150, 800];

export class Siren {
  /** @type {AudioContext | undefined} */ #audio;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #repeat;
  #changed;

  /** @param {() => void} changed called when it becomes able or unable to sound, starts or stops */
  constructor(changed) {
    this.#changed = changed;
  }

  get unlocked() {
    return this.#audio?.state === 'running';
  }

  get ringing() {
    return this.#repeat !== undefined;
  }

  /** To be called from a tap. */
  async unlock() {
    if (!this.#audio) {
      this.#audio = new AudioContext();
      this.#audio.onstatechange = this.#changed; // a phone call takes the sound away
    }
    await this.#audio.resume();
    this.#chime();
    this.#changed();
  }

  ring() {
    if (this.ringing) return;
    this.#wail();
    this.#repeat = setInterval(() => this.#wail(), REPEAT_MS);
    this.#changed();
  }

  chime() {
    navigator.vibrate?.(200);
    this.#chime();
  }

  stop() {
    clearInterval(this.#repeat);
    this.#repeat = undefined;
    navigator.vibrate?.(0);
    this.#changed();
  }

  /** Two falling pairs: not the rising sweep of a fire engine, which people would look for outside. */
  #wail() {
    navigator.vibrate?.(VIBRATION);
    [988, 740, 988, 740].forEach((hertz, i) => this.#tone({ hertz, at: i * 0.42, seconds: 0.38, loudness: 0.5, shape: 'square' }));
  }

  #chime() {
    [523, 659].forEach((hertz, i) => this.#tone({ hertz, at: i * 0.18, seconds: 0.5, loudness: 0.25, shape: 'sine' }));
  }

  /** @param {{ hertz: number, at: number, seconds: number, loudness: number, shape: OscillatorType }} tone */
  #tone({ hertz, at, seconds, loudness, shape }) {
    if (!this.#audio || !this.unlocked) return;
    const start = this.#audio.currentTime + at;
    const [voice, volume] = [this.#audio.createOscillator(), this.#audio.createGain()];
    voice.type = shape;
    voice.frequency.value = hertz;
    volume.gain.setValueAtTime(0, start);
    volume.gain.linearRampToValueAtTime(loudness, start + 0.02); // no click at either end
    volume.gain.setValueAtTime(loudness, start + seconds - 0.08);
    volume.gain.linearRampToValueAtTime(0, start + seconds);
    voice.connect(volume).connect(this.#audio.destination);
    voice.start(start);
    voice.stop(start + seconds);
  }
}
