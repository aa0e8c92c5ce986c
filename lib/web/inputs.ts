/** Inputs of forms, each tied to its label, its hint and its error. */
import type { Problem } from './answers.ts';
import { type Html, html } from './html.ts';

/** The forms, and which of their fields an error may be shown beside. */
export const FORMS = {
  download: ['passphrase', 'repeat'],
  upload: ['passphrase', 'backup'],
  restore: ['passphrase', 'confirmation'],
} as const;

export type FormName = keyof typeof FORMS;

/** An error, and the form that was sent. */
export interface Failed {
  problem: Problem;
  form: FormName | null;
}

interface Input {
  name: string;
  label: string;
  hint?: string;
}

/** The inputs of one form. */
export class Inputs {
  readonly #form: FormName;
  readonly #problem: Problem | undefined;

  constructor(form: FormName, failed: Failed | undefined) {
    this.#form = form;
    this.#problem = failed?.form === form ? failed.problem : undefined;
  }

  password(input: Input & { autocomplete: 'new-password' | 'off' }): Html {
    return this.field(
      input,
      (attributes) =>
        html`<input type="password" autocomplete="${input.autocomplete}" spellcheck="false" required${attributes}>`,
    );
  }

  /** @param draw makes the input of its attributes, which begin with a space */
  field({ name, label, hint }: Input, draw: (attributes: Html) => Html): Html {
    const id = idOf(this.#form, name);
    const problem = this.#problem?.field === name ? this.#problem : undefined;
    const described = [hint && `${id}-hint`, problem && `${id}-error`].filter(Boolean).join(' ');
    const attributes = html` id="${id}" name="${name}"${described && html` aria-describedby="${described}"`}${problem && html` aria-invalid="true"`}`;
    return html`<div class="field">
<label for="${id}">${label}</label>
${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
${problem && html`<p class="wrong" id="${id}-error">${problem.message}</p>`}
${draw(attributes)}
</div>`;
  }

  choice(type: 'radio' | 'checkbox', name: string, value: string, on: boolean, label: string): Html {
    const id = idOf(this.#form, `${name}-${value}`);
    return html`<div class="choice"><input type="${type}" id="${id}" name="${name}" value="${value}"${on && html` checked`}>
<label for="${id}">${label}</label></div>`;
  }
}

/** The address of the input on its page. */
export function linkTo({ problem: { field }, form }: Failed): string | null {
  return form && field && (FORMS[form] as readonly string[]).includes(field) ? `#${idOf(form, field)}` : null;
}

function idOf(form: FormName, name: string): string {
  return `${form}-${name}`;
}
